"""What a data scientist installs to run Flower apps on Aegis."""

__version__ = "0.1.0"
