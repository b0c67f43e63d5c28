"""What starts, watches and ends OS processes: the running of commands, services and schedules."""
