"""What makes the registry durable: the contract, its two implementations and the thread that writes."""
