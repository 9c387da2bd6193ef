"""Language models as such: the mini architecture, Hugging Face loading, generation, scoring, training."""

from lm.home import provide

provide()  # before a library looks for its own folder, which it does at import
