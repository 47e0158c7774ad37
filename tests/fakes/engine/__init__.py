"""Fakes of the engine, vLLM's OpenAI-compatible server, which share the documents that it answers with.

Five, because no one of them can be another: `scripted` runs in a test's own event loop and answers as the test says,
`llamacpp` is the same in the shape of llama.cpp's server, `raw` does so byte by byte, which no HTTP library lets it,
`instant` spends almost no processor time, so that a benchmark measures what stands before it, and `stand_in` is a
container's only process and needs nothing but Python.
"""
