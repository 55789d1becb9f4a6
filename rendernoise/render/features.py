"""Features that see through glass and mirrors: an integrator in Mitsuba's Python, for its JIT variants.

From the camera, it follows a chain of delta interactions (mirrors, smooth glass, panes, masks, the borders of media) to
the first surface that scatters, and describes that surface. Where glass may reflect or transmit, chance decides, so
that planes converge to the Fresnel blend. Random numbers are drawn in the order of Mitsuba's ``path``
integrator, so with its seed each sample takes the branch that its radiance took: features of a render then know
how many of its samples went which way, which is noise that a denoiser can take out. (Other integrators draw in other
orders; there the branch is a draw of its own.)

Functions take the modules ``mi`` and ``dr``, with a JIT variant set: importing them is up to the renderer.
"""

from __future__ import annotations

from typing import Any

#: The planes in the order of the integrator's channels, with the names of those channels.
FEATURE_CHANNELS = (
    ("albedo", ("R", "G", "B")),
    ("normal", ("X", "Y", "Z")),
    ("depth", ("T",)),
    ("position", ("X", "Y", "Z")),
    ("roughness", ("A",)),
)
#: Delta interactions that a chain may have: a glass of water takes 6, two window panes 4.
MAX_BOUNCES = 12
#: Roughness of glossy lobes that do not tell theirs.
UNKNOWN_ROUGHNESS = 0.3
#: What a mirror or glass before the surface makes of its roughness: outlines of glass stay visible.
SEEN_THROUGH_DELTA = 0.5


def feature_integrator(mi: Any, dr: Any, *, max_bounces: int = MAX_BOUNCES) -> Any:
    """An integrator whose channels are RGB (always 0) and then :data:`FEATURE_CHANNELS`.

    - ``albedo``, in [0, 1]: the tint of the chain times the surface's reflectance (of its diffuse lobe where it
      has one, else the weight of one sampled direction), plus the radiance that it emits. A ray that leaves the
      scene carries the environment's tinted radiance.
    - ``normal``: the shading normal as Mitsuba's ``aov`` gives it, in world space, not turned to the viewer.
    - ``depth``: length of the whole chain, from the near clip plane on, as ``aov`` counts; ``position``: where it
      ended; both in scene units.
    - ``roughness``, in [0, 1]: alpha of the surface's sharpest lobe; 1 is diffuse, 0 a smooth coat. Halved where the
      chain was reflected or refracted before.

    Normal, depth, position and roughness are 0 where a chain leaves the scene or has more than ``max_bounces``
    interactions; albedo is black for the latter.

    Args:
        mi: The ``mitsuba`` module with a JIT variant set.
        dr: The ``drjit`` module.
        max_bounces: Delta interactions that a chain may have.
    """
    chain = _Chain(mi, dr, max_bounces)

    class FeatureIntegrator(mi.SamplingIntegrator):
        def __init__(self, props: Any) -> None:
            super().__init__(props)

        def aov_names(self) -> list[str]:
            return [f"{plane}.{channel}" for plane, channels in FEATURE_CHANNELS for channel in channels]

        def sample(self, scene: Any, sampler: Any, ray: Any, medium: Any = None, active: Any = True) -> Any:
            return mi.Spectrum(0), mi.Bool(active), chain.features(scene, sampler, mi.Ray3f(ray), mi.Bool(active))

    return FeatureIntegrator(mi.Properties())


class _Chain:
    """Follows rays and describes what they end on."""

    def __init__(self, mi: Any, dr: Any, max_bounces: int) -> None:
        self.mi, self.dr, self.max_bounces = mi, dr, max_bounces
        # Not the radiance mode: its scaling by the squared index of refraction is no tint.
        self.context = mi.BSDFContext(mi.TransportMode.Importance)

    def features(self, scene: Any, sampler: Any, ray: Any, active: Any) -> list[Any]:
        """The channels of :data:`FEATURE_CHANNELS` for camera rays."""
        mi, dr = self.mi, self.dr
        # Evaluated after the loop, so that the costly description of a surface is compiled and run once.
        ray, hit, tint, own, length, found, bent = self._follow(scene, sampler, ray, active)
        si = hit.compute_surface_interaction(ray, mi.RayFlags.All, active)
        left = active & ~hit.is_valid()
        bsdf = si.bsdf()
        diffuse = found & mi.has_flag(bsdf.flags(), mi.BSDFFlags.Diffuse)
        reflectance = dr.select(diffuse, bsdf.eval_diffuse_reflectance(si, diffuse), dr.select(found, own, 0))
        emitter = si.emitter(scene, found | left)
        reflectance += dr.select(found | left, emitter.eval(si, found | left), 0)
        albedo = tint * reflectance
        albedo = dr.select((found | left) & dr.isfinite(albedo), dr.clip(albedo, 0, 1), 0)
        normal = dr.select(found, si.sh_frame.n, 0)
        position = dr.select(found, si.p, 0)
        roughness = self._roughness(si, bsdf, found) * dr.select(bent, SEEN_THROUGH_DELTA, 1)
        return [
            *(albedo.x, albedo.y, albedo.z),
            *(normal.x, normal.y, normal.z),
            dr.select(found, length, 0),
            *(position.x, position.y, position.z),
            dr.select(found, roughness, 0),
        ]

    def _follow(self, scene: Any, sampler: Any, ray: Any, active: Any) -> tuple[Any, ...]:
        """Chains to their ends.

        Returns:
            The last ray and its hit (which may be none); the tint on the way; the weight of a direction sampled at
            the end; the length; whether the end is a surface that scatters; whether delta lobes bent the way.
        """
        mi, dr = self.mi, self.dr
        flags = mi.BSDFFlags

        def step(
            sampler: Any,
            active: Any,
            ray: Any,
            hit: Any,
            tint: Any,
            own: Any,
            length: Any,
            found: Any,
            bent: Any,
            n: Any,
        ) -> tuple[Any, ...]:
            si = hit.compute_surface_interaction(ray, mi.RayFlags.All, active)
            bsdf = si.bsdf()
            lobes = bsdf.flags()
            length = length + si.t
            # The path integrator's order: a light, a direction, roulette.
            sampler.next_2d()
            lobe_number, direction = sampler.next_1d(), sampler.next_2d()
            sampler.next_1d()
            needs_sample = active & (~mi.has_flag(lobes, flags.Diffuse) | mi.has_flag(lobes, flags.Null))
            sample, weight = bsdf.sample(self.context, si, lobe_number, direction, needs_sample)
            passes = mi.has_flag(sample.sampled_type, flags.Null)
            bends = mi.has_flag(sample.sampled_type, flags.DeltaReflection) | mi.has_flag(
                sample.sampled_type, flags.DeltaTransmission
            )
            # A coat over a scattering surface does not lead on: that would trade its texture for noise.
            follows = needs_sample & (passes | (bends & ~mi.has_flag(lobes, flags.Smooth)))
            follows &= (dr.max(weight) > 0) & (si.shape.emitter() == None)  # noqa: E711  (an array of pointers)
            found = active & ~follows
            own = dr.select(found, weight, own)
            tint = dr.select(follows, tint * weight, tint)
            bent = bent | (follows & bends)
            next_ray = si.spawn_ray(si.to_world(sample.wo))
            next_hit = scene.ray_intersect_preliminary(next_ray, coherent=False, reorder=False, active=follows)
            ray, hit = dr.select(follows, next_ray, ray), dr.select(follows, next_hit, hit)
            n = n + 1
            active = follows & hit.is_valid() & (n <= self.max_bounces)
            return sampler, active, ray, hit, tint, own, length, found, bent, n

        hit = scene.ray_intersect_preliminary(ray, coherent=True, reorder=False, active=active)
        state = (
            *(sampler, active & hit.is_valid(), ray, hit, mi.Spectrum(1), mi.Spectrum(1), mi.Float(0)),
            *(mi.Bool(False), mi.Bool(False), mi.UInt32(0)),
        )
        state = dr.while_loop(state, lambda _, active, *rest: active, step, max_iterations=self.max_bounces + 1)
        _, _, ray, hit, tint, own, length, found, bent, _ = state
        return ray, hit, tint, own, length, found, bent

    def _roughness(self, si: Any, bsdf: Any, active: Any) -> Any:
        """Alpha of the sharpest lobe; Mitsuba's ``principled`` keeps its square root under another name."""
        mi, dr = self.mi, self.dr
        lobes = bsdf.flags()
        value = dr.select(mi.has_flag(lobes, mi.BSDFFlags.Glossy), mi.Float(UNKNOWN_ROUGHNESS), mi.Float(1))
        for name, power in (("alpha", 1), ("alpha_u", 1), ("roughness", 2)):
            has = active & bsdf.has_attribute(name, active)
            value = dr.select(has, bsdf.eval_attribute_1(name, si, has) ** power, value)
        coated = mi.has_flag(lobes, mi.BSDFFlags.DeltaReflection) & mi.has_flag(lobes, mi.BSDFFlags.Smooth)
        value = dr.select(coated, 0, value)
        return dr.select(dr.isfinite(value), dr.clip(value, 0, 1), UNKNOWN_ROUGHNESS)
