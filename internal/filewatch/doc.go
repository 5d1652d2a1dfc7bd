// Package filewatch finds out when files may have changed, whichever way they
// are replaced: written in place, renamed over, or behind a symbolic link, as
// Kubernetes mounts a secret.
//
// The directories of a file and of every link on the way to it ([Trail]) are
// watched for events that concern one of these ([Notices]); a [Burst] finds the
// time to read after the last of them. Whoever uses it looks at the files now
// and then too, for events get lost, and where the system has no watches left
// there are none.
//
// This package is internal to Relayhouse and may change.
package filewatch
