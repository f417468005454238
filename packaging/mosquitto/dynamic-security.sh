#!/bin/sh
# The same as navien2mqtt.acl, for mosquitto's dynamic security: makes four roles. README.md beside it explains them.
# Usage: dynamic-security.sh mosquitto_ctrl -u admin     (with the options of mosquitto_ctrl that your broker needs)
set -eu
base=${BASE_TOPIC:-navien2mqtt}
discovery=${DISCOVERY_PREFIX:-homeassistant}

# role NAME CONTROL...
role() {
    name=$1
    shift
    "$@" dynsec createRole "$name"
}

# allow ROLE read|write TOPIC CONTROL...
allow() {
    name=$1 way=$2 topic=$3
    shift 3
    if [ "$way" = write ]; then
        "$@" dynsec addRoleACL "$name" publishClientSend "$topic" allow
    else
        "$@" dynsec addRoleACL "$name" subscribePattern "$topic" allow
        "$@" dynsec addRoleACL "$name" publishClientReceive "$topic" allow
    fi
}

role navien2mqtt-bridge "$@"
for topic in "$base/bridge/request/+" "$base/+/get/+" "$base/+/set/+" "$discovery/status"; do
    allow navien2mqtt-bridge read "$topic" "$@"
done
allow navien2mqtt-bridge write "$base/#" "$@"
allow navien2mqtt-bridge write "$discovery/device/+/config" "$@"

role navien2mqtt-homeassistant "$@"
allow navien2mqtt-homeassistant read "$base/#" "$@"
allow navien2mqtt-homeassistant read "$discovery/#" "$@"
for topic in "$base/+/get/+" "$base/+/set/+" "$base/bridge/request/refresh" "$discovery/#"; do
    allow navien2mqtt-homeassistant write "$topic" "$@"
done

role navien2mqtt-administrator "$@"
allow navien2mqtt-administrator read "$base/#" "$@"
allow navien2mqtt-administrator write "$base/bridge/request/+" "$@"

role navien2mqtt-watcher "$@"
allow navien2mqtt-watcher read "$base/#" "$@"
