"""Files on their way in and out: archives, downloads, exports."""
