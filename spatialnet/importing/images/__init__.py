"""Chips that are image files: finding them, their sensor, the tables and folders that say what they show."""
