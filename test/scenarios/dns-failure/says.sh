# Quotes what another program said.
echo "last night: ping: db.corp.test: Name or service not known" >&2
echo "report.tmpl: Name or service not known" >&2
exit 1
