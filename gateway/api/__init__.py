"""The HTTP faces, one router each."""
