"""`muster demo`: the whole product at work on the files of a folder, started by itself."""
