"""What starts runs without a person or a client: a call of a secret address, a schedule, something that happened."""
