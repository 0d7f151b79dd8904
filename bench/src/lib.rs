//! What the benchmarks share: statistics of paired measurements, and plots.
