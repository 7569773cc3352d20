"""One module a step: what it reads and writes is lent to it by `work.Work`; it opens nothing by itself."""
