"""Programs for developers: benchmark, fault experiments, fuzzing, documents, figures of the source."""
