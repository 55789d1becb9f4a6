"""Files: EXR images and their roles, frame sequences, 8-bit images, and writing that never leaves half a file."""
