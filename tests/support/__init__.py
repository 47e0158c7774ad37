"""What several test packages use: runs of playbooks, clients, drills, tables, and the scheduling of tests."""
