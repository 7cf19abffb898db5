"""Archives: their file format, where they are kept, and how the log gets into them and out."""
