"""A MindRecord data engine for unpaired image-to-image translation."""
