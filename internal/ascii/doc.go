// Package ascii compares names whose letter case does not count. Unlike
// strings.EqualFold it holds no two bytes beyond ASCII for equal, so that no
// host, entity or parameter can be spelled in a way that another part of the
// gateway reads as something else. This package may change without notice.
package ascii
