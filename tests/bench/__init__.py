"""The benches themselves: what they count. How fast anything is, they say when they are run."""
