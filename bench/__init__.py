"""Measurements of the box beside other systems."""
