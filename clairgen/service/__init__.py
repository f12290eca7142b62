"""The service: runs, pairs and votes in a browser and over HTTP, by the same verbs over the same store as the command line."""
