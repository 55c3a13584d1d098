"""HTTP write API, group commit and relay."""
