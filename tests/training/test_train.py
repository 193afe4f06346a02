def test_it(trained):
    import json
    m = json.loads((trained/"metrics.json").read_text())
    print(m["stages"]); print(m["ensemble"]); print(m["interpolation"])
    for f in sorted(trained.rglob("*")): print(f.relative_to(trained))
    assert 0
