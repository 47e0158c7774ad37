"""Before a test is imported, `ansible_collections.slm.serving` has to be found."""

from tests.support.collection import load_collections

load_collections()
