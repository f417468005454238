# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_navien2mqtt_global_optspecs
    string join \n config= v/verbose q/quiet h/help V/version
end

function __fish_navien2mqtt_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_navien2mqtt_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_navien2mqtt_using_subcommand
    set -l cmd (__fish_navien2mqtt_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -s V -l version -d 'Print version'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "run" -d 'The daemon: bridges the cloud and the local broker until it is asked to stop'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "check" -d 'Reads the configuration and reports every problem in it; touches no network'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "devices" -d 'Signs in, lists the account\'s heaters, leaves'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "status" -d 'Connects, asks each heater for its status, prints it, leaves'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "setup" -d 'Asks for the account and the broker, tries both, and writes configuration and credentials'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "doctor" -d 'Looks through all that the service needs, and says what is to be done'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "forget" -d 'Takes everything that stands of a heater, or of the whole bridge, off the local broker and out of Home Assistant'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "health" -d 'Asks the daemon that runs whether it is healthy; needs http.listen'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "decode" -d 'Decodes a raw cloud message of any kind, a bare status or feature object, or the raw messages of a diagnostics answer, from standard input'
complete -c navien2mqtt -n "__fish_navien2mqtt_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand run" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand run" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand run" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand run" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand check" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand check" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand check" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand check" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand devices" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand devices" -l json -d 'Print JSON'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand devices" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand devices" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand devices" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -l device -d 'Only this heater' -r
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -l json -d 'Print JSON, one object a line'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -l broker -d 'Look for the daemon on the local broker as well, and exit with 75 if there is trouble'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand status" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l email -d 'The email address of the NaviLink account' -r
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l password-file -d 'The file that holds the account\'s password in its first line; - is the next line of standard input' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l broker -d 'The local broker: mqtt://host:port, or with TLS mqtts://host:port' -r
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l broker-username -d 'The user name at the broker' -r
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l broker-password-file -d 'The file that holds the broker\'s password in its first line; - is the next line of standard input' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l broker-ca-file -d 'Roots that are trusted at the broker besides the system\'s, in PEM' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l directory -d 'Write everything into this folder, for a program that is run without the unit' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -s y -l yes -d 'Go on without the broker if it cannot be reached, and enable the unit, without asking'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l force -d 'Change the configuration and replace the passwords that are there, without asking'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -l no-enable -d 'Leave the unit alone'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand setup" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -l json -d 'Print JSON'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -l sign-in -d 'Sign in to the cloud with the password, without asking first'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -l no-sign-in -d 'Do not sign in, and do not ask'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand forget" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand forget" -l all -d 'Everything of this bridge; it must not run'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand forget" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand forget" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand forget" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand health" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand health" -l ready -d 'Ask whether it is ready: connected to the cloud and to the local broker'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand health" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand health" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand health" -s h -l help -d 'Print help'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand decode" -l units -d 'The units to show' -r -f -a "device\t'As the heater itself is set'
metric\t'Celsius, litres'
us\t'Fahrenheit, gallons'"
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand decode" -l config -d 'The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]' -r -F
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand decode" -s v -l verbose -d 'Say more (-v: debug, -vv: trace)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand decode" -s q -l quiet -d 'Say less (-q: warnings, -qq: errors)'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand decode" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "run" -d 'The daemon: bridges the cloud and the local broker until it is asked to stop'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "check" -d 'Reads the configuration and reports every problem in it; touches no network'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "devices" -d 'Signs in, lists the account\'s heaters, leaves'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "status" -d 'Connects, asks each heater for its status, prints it, leaves'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "setup" -d 'Asks for the account and the broker, tries both, and writes configuration and credentials'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "doctor" -d 'Looks through all that the service needs, and says what is to be done'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "forget" -d 'Takes everything that stands of a heater, or of the whole bridge, off the local broker and out of Home Assistant'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "health" -d 'Asks the daemon that runs whether it is healthy; needs http.listen'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "decode" -d 'Decodes a raw cloud message of any kind, a bare status or feature object, or the raw messages of a diagnostics answer, from standard input'
complete -c navien2mqtt -n "__fish_navien2mqtt_using_subcommand help; and not __fish_seen_subcommand_from run check devices status setup doctor forget health decode help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
