echo "yesterday: connect to 10.0.0.5:5432 failed: Connection refused" >&2
exit 1
