"""What is done to virtual hosts over SSH."""
