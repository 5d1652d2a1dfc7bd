// Package config reads the settings of a node.
//
// A setting is one entry in settings.go: its path, default, range and text,
// from which the keys of the file, the flags, the environment variables, the
// help and the checks follow.
//
// [Load] lays four sources over each other, later ones winning:
//
//  1. the defaults, of the settings and of the command,
//  2. a file: YAML, or JSON with comments,
//  3. the environment: RELAYHOUSE_GATEWAY__RENDEZVOUS_WINDOW,
//  4. flags: --gateway-rendezvous-window.
//
// [ReadDefinitions] reads namespaces alone, in our form or in that of the
// Config.json of the Azure emulators, and [WriteDefinitions] and
// [WriteEmulator] write them; [LoadDefinitions] does it for a file, and [Watch]
// each time that the file changes. A file of settings may hold namespaces too.
// Keys in files of the operator may be given as env:NAME or file:PATH.
//
// Errors are for operators: all at once, one line each, of type [*Error], with
// the path of the setting, what is wanted, what was found and where. An unknown
// key is an error. Keys never appear in errors or in what [Config.Print]
// writes; WriteDefinitions and WriteEmulator write them as they are.
//
// This package is internal to Relayhouse and may change.
package config
