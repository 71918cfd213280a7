"""What is told to people in plain text, by `dts` and by the console alike."""
