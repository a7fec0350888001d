"""mimo_edge: Xiaomi's MiMo-Audio on a laptop without CUDA."""
