"""The program as wheels for a host's platform, collected on our side: the host needs no network."""
