"""Parts of the site that are made from the project: chapters, explorables, reference; and the check of all links."""
