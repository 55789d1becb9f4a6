"""What people look at after a benchmark: a page that opens from disk, with every figure and the images behind it."""
