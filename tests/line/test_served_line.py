import numpy as np, torch, json, time
def test_try(built, checkpoints, mocap):
    from clip_har.checkpoint import model_from_checkpoint
    from builder.parity import torch_answer
    from clip_har.media import frames_from_media
    from clip_har.limits import Limits
    man = json.loads((mocap/'manifest.json').read_text())
    b = model_from_checkpoint(checkpoints/'base'); t = model_from_checkpoint(checkpoints/'temporal')
    tops=set()
    for p in man['pairs']:
        F = frames_from_media((mocap/p['forward']).read_bytes(), 8, 32, Limits())
        R = frames_from_media((mocap/p['backward']).read_bytes(), 8, 32, Limits())
        for m in (b,t):
            f, r = torch_answer(m, *F), torch_answer(m, *R)
            print(m.spec.temporal, m.spec.temperature, abs(f.probs-r.probs).max(), abs(np.log(f.probs)-np.log(r.probs)).max(), f.embedding@r.embedding, f.probs.max())
    for c in man['clips'][-17:]:
        F = frames_from_media((mocap/c['path']).read_bytes(), 8, 32, Limits())
        print([ (int(torch_answer(m,*F).probs.argmax()), round(float(torch_answer(m,*F).probs.max()),3)) for m in (b,t)])
    print((built/'manifest.json').read_text()[:3000])
