"""What a user runs now and then: python -m tools.NAME."""
