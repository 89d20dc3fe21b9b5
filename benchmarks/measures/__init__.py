"""What is measured, one file a section, and what they share."""
