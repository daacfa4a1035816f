"""Every speed figure in the documentation comes from a script here."""
