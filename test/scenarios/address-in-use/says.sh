# The words without the refusal: a wrapper that greps another's log.
echo "bind() to 0.0.0.0:80 failed (98: Address already in use), says the log of yesterday" >&2
exit 1
