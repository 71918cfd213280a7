"""What a host needs to run the embedded stack: its data folder, child workers, signals, credentials."""
