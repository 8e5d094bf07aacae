"""Plain fine-tuning: the reference every other row is compared with.

AdamW with bias correction, linear warm-up over 10 % of the steps, linear decay, weight decay 0.01, gradients clipped to
a global norm of 1.0: the stable recipe of Mosbach, Andriushchenko and Klakow, "On the Stability of Fine-tuning BERT",
ICLR 2021, arXiv 2006.04884. All of it is what `training.hooks` does when a mitigation defines nothing, so this file
defines nothing. Deviation: epochs come from the tier (the paper's 20 epochs are for data sets of a few thousand texts).
"""

FAMILY = "reference"
SOURCE = "Mosbach et al. 2021, arXiv 2006.04884"
VERSION = 1
TASKS = ("classification", "tagging")
