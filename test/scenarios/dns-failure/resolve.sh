# A lookup of no consequence, and then something else that cannot be resolved.
getent hosts updates.corp.test
sleep 0.3
echo "build: could not resolve dependency tree: left-pad@1 wants right-pad@2" >&2
exit 1
