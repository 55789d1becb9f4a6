"""The generic noise suite: the experiments of Noise2Noise and Noise2Void on images, with the trainer of renderings."""
