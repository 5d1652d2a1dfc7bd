// Package leak lets a test package prove that it gives back what it takes:
// goroutines and file descriptors. This package may change without notice.
package leak
