// Command plant shows that the simulation can fail. It plants one known bug at
// a time into a copy of the engine, runs the simulated relays on it, and
// expects every bug to be found. The tree is not touched: the compiler gets the
// copy through an overlay.
//
//	go run ./tools/plant            all bugs
//	SIM_SEEDS=500 go run ./tools/plant
//
// The bugs are ones that were met, or nearly met, when relays like this one
// were written before. This command may change without notice.
package main
