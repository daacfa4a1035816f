"""Arithmetic, files and reports that know nothing of models or data sets."""
