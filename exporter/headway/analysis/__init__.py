"""What follows from what runs and what ran: pure functions over views and records, which change nothing and ask nobody."""
