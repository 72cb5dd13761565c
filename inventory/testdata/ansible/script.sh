#!/bin/sh
# An inventory script with all that --list may print.
[ "$1" = --list ] || exit 1
cat <<'JSON'
{
  "web": {"hosts": ["web1", "web2"], "vars": {"ansible_user": "www", "level": 1}},
  "db": ["db1", "db2"],
  "single": {"ansible_port": 2222, "own": "yes"},
  "prod": {"children": ["web", "db"], "vars": {"place": "prod"}},
  "all": {"vars": {"place": "all", "ratio": 0.25}},
  "_meta": {"hostvars": {
    "web1": {"ansible_host": "192.0.2.1", "level": 5, "deep": {"a": [1, null, true]}},
    "db1": {"ansible_ssh_private_key_file": "/keys/db"},
    "nobody": {"x": 1}
  }}
}
JSON
