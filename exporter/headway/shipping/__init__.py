"""Output lines and changes of status as they are sent on to Loki, for whoever wants them to last longer than the tail that is kept
here: what becomes of a line (`entries`), what waits (`backlog`), one request (`loki`), the thread that delivers (`shipper`), and
where both come by on their way to the store (`tee`)."""
