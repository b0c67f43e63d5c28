"""OS processes that nobody reported: rules that say what to look for, looks at the process table, and the records made of both."""
